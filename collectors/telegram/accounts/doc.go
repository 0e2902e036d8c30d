// Package accounts keeps the accounts that a node asks Telegram with: their sessions, how
// each of them is, and who uses which.
//
// # On the disk
//
// keys/telegram-NAME is a session, through the vault: encrypted where the node's keys are.
// It says for which service it was made, and is shown to no other. telegram.json has a row
// for each account that is not well, or that the service wants to wait with something; it
// holds no secret and may be lost. Files telegram-NAME.lock are leases: a session that is
// in use twice is ended by the service.
//
// A crash leaves each file as it was or as it was to be. A lease ends with its process.
package accounts
