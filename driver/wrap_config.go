package driver

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// readConfig reads a configuration of the wrapped driver's that is out of reach, in a field that is
// not exported: what is plain can be copied, functions and pointers cannot, and are named
// in hidden. A field of a later version that it cannot copy is hidden, too.
func readConfig(from reflect.Value) (cfg *mysql.Config, hidden []string) {
	var charsets []string
	if f := from.FieldByName("charsets"); f.IsValid() && f.Type() == reflect.TypeFor[[]string]() {
		for i := range f.Len() {
			charsets = append(charsets, f.Index(i).String())
		}
	}
	base := "/"
	if len(charsets) > 0 {
		base = "/?charset=" + strings.Join(charsets, ",") // there is no other way to set several
	}
	cfg, err := mysql.ParseDSN(base)
	if err != nil {
		cfg, hidden = mysql.NewConfig(), []string{"charset"}
	}
	r := configReader{from: from, to: reflect.ValueOf(cfg).Elem(), cfg: cfg}
	for i := range from.NumField() {
		if name := from.Type().Field(i).Name; !r.copies(name) {
			hidden = append(hidden, strings.ToUpper(name[:1])+name[1:])
		}
	}
	return cfg, hidden
}

type configReader struct {
	from, to reflect.Value
	cfg      *mysql.Config
}

// copies copies one field and reports whether it could.
func (r configReader) copies(name string) bool {
	from, to := r.from.FieldByName(name), r.to.FieldByName(name)
	ok := true
	switch name {
	case "charsets", "pubKey", "Logger", "RejectReadOnly":
		// Done; found by its name; ours; ours to do.
	case "Loc":
		r.cfg.Loc, ok = readLocation(from)
	case "TLS":
		ok = r.readTLS(from)
	case "compress":
		_ = mysql.EnableCompression(from.Bool())(r.cfg) // neither has an error
	case "timeTruncate":
		_ = mysql.TimeTruncate(time.Duration(from.Int()))(r.cfg)
	default:
		switch {
		case from.IsZero() && to.CanSet():
			to.SetZero()
		case !from.IsZero():
			ok = to.CanSet() && copyPlain(from, to)
		}
	}
	return ok
}

// copyPlain copies a value that may be read only, if it has no pointers but those of slices
// and maps.
func copyPlain(from, to reflect.Value) bool {
	switch from.Kind() {
	case reflect.String:
		to.SetString(from.String())
	case reflect.Bool:
		to.SetBool(from.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		to.SetInt(from.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		to.SetUint(from.Uint())
	case reflect.Slice:
		to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			if !copyPlain(from.Index(i), to.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		to.Set(reflect.MakeMap(to.Type()))
		for it := from.MapRange(); it.Next(); {
			key, value := reflect.New(to.Type().Key()).Elem(), reflect.New(to.Type().Elem()).Elem()
			if !copyPlain(it.Key(), key) || !copyPlain(it.Value(), value) {
				return false
			}
			to.SetMapIndex(key, value)
		}
	default:
		return false
	}
	return true
}

// readTLS makes the TLS configuration that from is, if its name or its plain fields say
// all of it.
func (r configReader) readTLS(from reflect.Value) bool {
	name := r.from.FieldByName("TLSConfig").String()
	r.cfg.TLSConfig, r.cfg.TLS = name, nil
	if from.IsNil() {
		return true
	}
	network, addr := r.from.FieldByName("Net").String(), r.from.FieldByName("Addr").String()
	if name != "" {
		named, err := mysql.ParseDSN(fmt.Sprintf("%s(%s)/?tls=%s", network, addr, url.QueryEscape(name)))
		if err == nil && named.TLS != nil && alike(from.Elem(), reflect.ValueOf(named.TLS).Elem()) {
			return true
		}
	}
	r.cfg.TLSConfig = "" // the field has priority over the name
	plain := &tls.Config{}
	to := reflect.ValueOf(plain).Elem()
	for field := range exported(to.Type()) {
		if f := from.Elem().FieldByIndex(field.Index); !f.IsZero() && !copyPlain(f, to.FieldByIndex(field.Index)) {
			return false
		}
	}
	r.cfg.TLS = plain
	return true
}

// exported are the exported fields of a type.
func exported(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for f := range t.Fields() {
			if f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

// alike reports whether the exported fields of two structs are the same, pointers and functions
// by where they point.
func alike(a, b reflect.Value) bool {
	for field := range exported(a.Type()) {
		if !sameValue(a.FieldByIndex(field.Index), b.FieldByIndex(field.Index)) {
			return false
		}
	}
	return true
}

func sameValue(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return a.Pointer() == b.Pointer()
	case reflect.Slice:
		return a.Len() == b.Len() && (a.Len() == 0 || a.Pointer() == b.Pointer())
	case reflect.Interface:
		return a.IsNil() && b.IsNil()
	default:
		return a.Comparable() && b.Comparable() && a.Equal(b)
	}
}

// readLocation finds the location that from, a *time.Location, is.
func readLocation(from reflect.Value) (*time.Location, bool) {
	if from.IsNil() {
		return time.UTC, true
	}
	for _, known := range []*time.Location{time.UTC, time.Local} {
		if from.Pointer() == reflect.ValueOf(known).Pointer() {
			return known, true
		}
	}
	name := from.Elem().FieldByName("name")
	if !name.IsValid() || name.Kind() != reflect.String {
		return nil, false
	}
	loaded, err := time.LoadLocation(name.String())
	if err != nil || !sameZones(from.Elem(), reflect.ValueOf(loaded).Elem()) {
		return nil, false // time.FixedZone takes any name
	}
	return loaded, true
}

// sameZones reports whether two locations have the same zones, and as many changes between them.
func sameZones(a, b reflect.Value) bool {
	if !a.FieldByName("zone").IsValid() || !a.FieldByName("tx").IsValid() || a.FieldByName("tx").Len() != b.FieldByName("tx").Len() {
		return false
	}
	zones := func(v reflect.Value) (offsets []int64) {
		for i := range v.FieldByName("zone").Len() {
			offsets = append(offsets, v.FieldByName("zone").Index(i).FieldByName("offset").Int())
		}
		return offsets
	}
	return slices.Equal(zones(a), zones(b))
}

// difference names a field in which two configurations differ other than in their address; ""
// if there is none.
func difference(a, b *mysql.Config) string {
	for field := range exported(reflect.TypeFor[mysql.Config]()) {
		x, y := reflect.ValueOf(a).Elem().FieldByIndex(field.Index), reflect.ValueOf(b).Elem().FieldByIndex(field.Index)
		switch field.Name {
		case "Addr", "Logger":
			continue
		case "TLS":
			if x.IsNil() && y.IsNil() || !x.IsNil() && !y.IsNil() && sameBut(a, b) {
				continue
			}
			return field.Name
		}
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			return field.Name
		}
	}
	a, b = a.Clone(), b.Clone()
	a.Addr, b.Addr = "", ""
	if a.FormatDSN() != b.FormatDSN() {
		return "charset or other option"
	}
	return ""
}

// sameBut reports whether two TLS configurations are alike but for the servers' names.
func sameBut(a, b *mysql.Config) bool {
	x, y := a.TLS.Clone(), b.TLS.Clone()
	x.ServerName, y.ServerName = "", ""
	return alike(reflect.ValueOf(x).Elem(), reflect.ValueOf(y).Elem())
}
