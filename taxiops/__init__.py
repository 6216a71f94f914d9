"""CI/CD for an Azure ML taxi-fare model. This file stays free of imports."""
