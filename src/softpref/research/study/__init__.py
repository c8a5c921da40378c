"""The comparison of the paper's methods in PlanWorld: over label sets, noise, judges and seeds, with intervals.

``settings`` says how large, ``world`` and ``labels`` make what is learned from, ``runs`` trains and measures one cell,
``plan`` lists the cells, ``conduct`` computes what is missing, ``results`` turns cells into figures with intervals, and
``tables`` and ``figures`` show them.
"""
