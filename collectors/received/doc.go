// Package received takes files that a person handed over into one Acquired:
// each file's exact bytes as an Object of role "received", how they came as
// received.json, and who gave them as giver.json, a restricted Object that the
// Manifest is only committed to.
//
// Nothing is interpreted, unpacked or derived: a mail, an archive, a web page
// stay the bytes that they are. Files are streamed, so memory does not grow with
// them; one that changes while it is read is an error, and then no Object of the
// act may be named anywhere. What is proven later is that these bytes were here
// at T. Where they come from is the giver's word, and says so.
package received
