"""`segassets ui`: Dagster's webserver and daemon on the loopback address, behind a guard.

`guard` refuses what a foreign web page could send; `serve` starts and ends the processes.
"""
