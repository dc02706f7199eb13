package sqlite

var (
	NetworkName       = networkName
	NetworkFileSystem = networkFileSystem
)
