SELECT * FROM webhook_bridge.fetch_events('bench');
