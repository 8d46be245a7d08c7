"""The way on: which next hop a recipient's mail goes to (``routes``), how it is handed over (``hop``), what came of it."""
