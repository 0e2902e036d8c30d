// Package telegrambench measures what is done with Telegram's answers on this machine: how
// fast they are read ([Answers]), and how long a post of a watched channel takes to its
// Seal ([Lines]), against a service over loopback ([Serve]) that stands in for Telegram's
// own. On the real network that service's limits decide.
//
// The service runs in a process of its own ([Start]): what it spends and holds is not
// counted. It ends with its standard input, so none is left where the measuring process is
// killed.
package telegrambench
