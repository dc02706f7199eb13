package sqlite

import "syscall"

// networkFileSystem returns the name of the network file system that the file
// at path lies on, and nothing if it is another one or is not known.
func networkFileSystem(path string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(path, &st) != nil {
		return ""
	}
	return networkName(uint32(st.Type))
}

// networkName returns the name that belongs to a magic number of statfs(2).
func networkName(magic uint32) string {
	switch magic {
	case 0x6969:
		return "NFS"
	case 0x517b, 0xff534d42, 0xfe534d42:
		return "SMB"
	case 0x5346414f, 0x6b414653:
		return "AFS"
	}
	return ""
}
