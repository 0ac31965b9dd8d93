"""How it is shown: the command line, the Streamlit dashboard, Grafana dashboards, Prometheus rules."""
