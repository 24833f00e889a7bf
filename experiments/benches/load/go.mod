module regulatory-sandbox.bench/load

go 1.25
