"""The room a plugin author reads: data, requests, protocols, cost, selection, traces and errors."""
