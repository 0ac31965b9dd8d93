"""Objectives, and how they stand: attainment, error budget, burn rates. A member imports what it needs; nothing is loaded here.

objective      what an objective says, and which two contradict each other
windows        lengths of time, and the windows and factors of burn-rate alerts, as data
judging        each call against an objective: kept, broken, unknown, or not asked
metered        the same of pulled metrics, where no calls are stored
standing       shares, budgets and burn rates of the judged calls
status         all objectives of a config: `meshslo slo`
openslo        OpenSLO documents in and out
"""
