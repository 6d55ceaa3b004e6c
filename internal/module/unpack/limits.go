package unpack

// Limits bounds what an archive may cost. Each field that is 0 has its default; none can mean unlimited.
type Limits struct {
	Packed  int64 // bytes as they come; 256 MiB
	Total   int64 // bytes of all files; 1 GiB
	File    int64 // bytes of one file; 512 MiB, the largest real one (a browser's binary) has 200
	Entries int   // of any kind, those left out too; 100,000
	Depth   int   // folders in one another; 64
	Ratio   int64 // unpacked to packed, once more than 32 MiB are unpacked; 100. gzip can do 1,032
	Memory  int64 // of a content that lies in memory; the rest goes to a file without a name; 32 MiB

	// Spool is the folder of that file; "" is the system's for temporary files.
	Spool string
}

const (
	mostPath = 1024 // bytes
	mostPart = 255  // bytes; what a Linux file system takes

	// mostHeader bounds what may stand between two bodies: headers, long names, PAX records, padding.
	// archive/tar takes at most 1 MiB of each, and any number of them.
	mostHeader = 1 << 20

	freeRatio = 32 << 20 // below this a ratio says nothing: a folder of empty files packs to 1/300
)

func (l Limits) withDefaults() Limits {
	l.Packed = or(l.Packed, 256<<20)
	l.Total = or(l.Total, 1<<30)
	l.File = or(l.File, 512<<20)
	l.Entries = or(l.Entries, 100_000)
	l.Depth = or(l.Depth, 64)
	l.Ratio = or(l.Ratio, 100)
	l.Memory = or(l.Memory, 32<<20)
	return l
}

func or[T int | int64](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}
