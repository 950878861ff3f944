"""Any ODRL 2.2 policy: read it from JSON-LD, say what is wrong with it, decide a request, compare an offer with one.

Sources: ODRL Information Model 2.2 and ODRL Vocabulary 2.2 (W3C Recommendations, 15 February 2018), and, for what they leave
open, the ODRL Community Group's draft "ODRL Formal Semantics". Values in, values out: nothing is fetched, no clock is read.

    reading.py       bytes -> JSON values, within limits
    graph.py         JSON-LD -> nodes (context.py: names -> IRIs)
    building.py      nodes -> the model of model.py, with everything that is wrong (rules.py: the parts of a rule)
    inheritance.py   a policy and its parents -> one policy
    state.py         the state of the world
    operators.py     the twelve operators over values.py
    deciding.py      a request -> decision and report
    comparing.py     an offer and a request -> conflict, compatible or unknown
    candidates.py    values of one operand to try
    profile.py       a policy of this service's own profile -> the same inputs
"""
