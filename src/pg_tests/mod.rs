//! Tests that run inside a server, one rolled-back transaction each.
