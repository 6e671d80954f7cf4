package wire

// What a Track is about. https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html
const (
	TrackSystemVariable  byte = 0 // Name and Value
	TrackSchema          byte = 1 // Value: the default schema
	TrackStateChange     byte = 2 // Value: "1"
	TrackGTIDs           byte = 3 // Value: the GTID set
	TrackCharacteristics byte = 4 // Value: SQL that begins the same transaction
	TrackTransaction     byte = 5 // Value: eight characters, "________" = none
)

// Track is one session change in an OK packet.
type Track struct {
	Type  byte
	Name  string // system variables only
	Value string
}

func appendTracks(dst []byte, tracks []Track) []byte {
	for _, t := range tracks {
		var data []byte
		switch t.Type {
		case TrackSystemVariable:
			data = AppendLenString(AppendLenString(nil, t.Name), t.Value)
		case TrackStateChange:
			data = []byte(t.Value) // alone without a length of its own
		case TrackGTIDs:
			data = AppendLenString([]byte{0}, t.Value) // encoding specification
		default:
			data = AppendLenString(nil, t.Value)
		}
		dst = AppendLenString(append(dst, t.Type), data)
	}
	return dst
}

func (d *decoder) tracks() []Track {
	var tracks []Track
	all := &decoder{rest: d.lenBytes(), what: d.what, err: d.err}
	for len(all.rest) > 0 {
		typ := all.uint8()
		one := &decoder{rest: all.lenBytes(), what: d.what, err: all.err}
		switch typ {
		case TrackSystemVariable:
			// MariaDB puts all changed variables into one entry.
			for len(one.rest) > 0 {
				tracks = append(tracks, Track{typ, one.lenString(), one.lenString()})
			}
		case TrackStateChange:
			tracks = append(tracks, Track{Type: typ, Value: one.eofString()})
		case TrackGTIDs:
			one.uint8()
			tracks = append(tracks, Track{Type: typ, Value: one.lenString()})
		default:
			tracks = append(tracks, Track{Type: typ, Value: one.lenString()})
		}
		if all.err == nil {
			all.err = one.err
		}
	}
	d.err = all.err
	return tracks
}
