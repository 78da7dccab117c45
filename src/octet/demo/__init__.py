"""`octet demo`: a crew of stand-in sessions builds a feature in a sample repository.

`run` is the whole demo, in a `sandbox` that `cleanup` removes. Each member of the `crew` is a
process (`session`) that fires the plugin's `hooks` and follows its role's behaviour (`roles`).
`history` follows the events, `board` and `report` show them, `checks` judge the result.
"""
