package kafka_test

// child runs the role of a child process, if this is one.
func child() {}
