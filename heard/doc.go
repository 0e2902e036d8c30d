// Package heard says in custody when each channel that is followed was answered for: the
// empty answers are not kept, and without it nobody could tell a quiet channel from a node
// that was down.
//
// Answers are noted in memory, brought to heard.json once a minute, and told in a line of
// custody for each Case once an hour, in whole minutes that many channels share. The file
// may be lost: then that time counts as one in which nobody was asked. A process that is
// killed, stopped or asleep makes a gap; a crash can lose what was heard, at most what came
// since the last minute, and never adds to it.
package heard
