package main

import "holdfast/collectors/telegram"

// followChannel returns the channel that a Task has found.
func followChannel(cur []byte) (int64, bool) { return telegram.ChannelOf(cur) }

// knownPlace is where a Task begins whose channel another one has found.
func knownPlace(cur []byte) ([]byte, bool) { return telegram.Known(cur) }
