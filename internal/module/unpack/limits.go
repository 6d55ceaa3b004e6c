package unpack

import "hearth"

// Limits bounds what an archive may cost. Each field that is 0 has its default, those of hearth's limits
// where there is one; none can mean unlimited.
type Limits struct {
	Packed  int64 // bytes as they come
	Total   int64 // bytes of all files
	File    int64 // bytes of one file
	Entries int   // of any kind, those left out too
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
	l.Packed = or(l.Packed, hearth.LimitPackagePacked.Value)
	l.Total = or(l.Total, hearth.LimitPackageUnpacked.Value)
	l.File = or(l.File, hearth.LimitPackageFile.Value)
	l.Entries = or(l.Entries, hearth.LimitPackageEntries.Int())
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
