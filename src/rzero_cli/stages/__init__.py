"""The stages that read and write records: functions over an engine and plain values."""
