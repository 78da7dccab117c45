"""What tests stand on: real servers, repositories, faults."""
