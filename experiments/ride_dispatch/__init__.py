"""Can vehicles be dispatched without a human dispatcher, if offers come faster?

`script` is the whole trial as people would act it, on real servers; the documents
beside it are what they write.
"""
