"""Whether what models are asked and answer is still what it was: against a frozen reference, by feature.

measures   how far two distributions are apart, and how far is far: pure | histograms: bins that are frozen
plugin     the hooks, and the report
"""
