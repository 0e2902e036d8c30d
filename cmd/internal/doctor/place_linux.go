package doctor

import "golang.org/x/sys/unix"

// fileSystem says on what kind of file system a directory lies, and how much room an
// ordinary user has there, in bytes.
func fileSystem(dir string) (kind int64, free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, 0, err
	}
	return int64(st.Type), st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// keptInTime asks the kernel whether something keeps its clock synchronised.
func keptInTime() (kept, known bool) {
	var tx unix.Timex // no modes: nothing is set
	state, err := unix.Adjtimex(&tx)
	return state != unix.TIME_ERROR, err == nil
}
