// Package webbench measures the capture of web pages on this machine: pages a minute with
// two tabs, the first one from a cold start, a large download beside curl, the memory of
// the whole tree of processes, and, against the site's own count, how many of the
// exchanges that the browser made are not in the archive.
//
// The site runs in a process of its own ([Site]), so that what it spends and holds is not
// counted, over loopback: on a real network the line decides. What is measured is the
// collector as a capture uses it, its Objects written to disk and hashed; sealing is not
// in it (about 0.1 ms for each Capture, `holdfast bench seal`).
//
// Beside it runs single-file-cli (npm), if `single-file` is on the search path: it makes
// one HTML file of a page, without an archive of exchanges, a picture or text, so the
// ratio says how long a page takes and not what is kept of it.
package webbench
