module regulatory-sandbox.bench/sender

go 1.25
