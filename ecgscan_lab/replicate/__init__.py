"""One command from a folder of recordings to the figures of the paper's table: train, judge, write down.

stages      what is done already, verified by hash
ptbxl       `replicate_ptbxl`
judging     the judgements beyond the probes: retrieval, reconstruction, photographs, digitising
figures     `replicate.json` and `report.md`
commands    `ecgscan-lab replicate`
"""
