package sqlscan

import "testing"

func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		"/* fp:reader */ SELECT 1":                                            "reader",
		"/*fp:reader*/SELECT 1":                                               "reader",
		"\t\n /*\tfp:writer\n*/ SELECT 1":                                     "writer",
		"/* who asks */ /* fp:reader */ SELECT 1":                             "reader",
		"/* fp:reader */ /* fp:writer */ SELECT 1":                            "reader",
		"/* fp:reader */ not SQL 'at all":                                     "reader",
		"/* fp:reader */ SELECT '\xff'":                                       "reader",
		"/* fp:writer */ INSERT INTO t VALUES (1)":                            "writer",
		"SELECT 1 /* fp:reader */":                                            "",
		"SELECT /* fp:reader */ 1":                                            "",
		"'/* fp:reader */'":                                                   "",
		"-- name: One :one\n/* fp:reader */ SELECT 1":                         "reader",
		"--\n # /* fp:reader */\r\n /* x */ --\t\n\t/* fp:writer */ SELECT 1": "writer",
		"-- /* fp:reader */ SELECT 1":                                         "",
		"-- /* fp:reader */\nSELECT 1":                                        "",
		"--/* fp:reader */\nSELECT 1":                                         "",
		"--1\n/* fp:reader */ SELECT 1":                                       "",
		"--":                                                                  "", "#": "", "-- x": "",
		"/* fp:reader SELECT 1":                          "",
		"/* fp:reader, please */ SELECT 1":               "",
		"/* '*/ fp:reader /*' */ SELECT 1":               "",
		"/*! fp:reader */ SELECT 1":                      "",
		"/*+ fp:reader */ SELECT 1":                      "",
		"/* FP:READER */ SELECT 1":                       "",
		"":                                               "",
		"/* */":                                          "",
		"/*/ fp:reader */ SELECT 1":                      "",
		"/* x */ SELECT '/* fp:reader */', \"*/ '\"":     "",
		"SELECT 1; /* fp:reader */ SELECT 2":             "",
		"/* fp:reader */ SELECT 1; /* fp:writer */ DO 1": "reader",
	} {
		for _, mode := range []Mode{0, AnsiQuotes, AnyMode} {
			f, got := Scan(text, mode), ""
			if f.HintsReader() {
				got = "reader"
			}
			if f.HintsWriter() {
				got += "writer"
			}
			if p := f.Preparation(); p.HintsReader() != f.HintsReader() || p.HintsWriter() != f.HintsWriter() || p.MayWrite() {
				t.Errorf("%q: preparing it is %+v", text, p)
			}
			if got != want {
				t.Errorf("%q in mode %d: %q, want %q", text, mode, got, want)
			}
		}
	}
	if f := Scan("/* fp:reader */ SELECT 1", AnyMode); !f.Read() || !f.Plain() {
		t.Error("a hint is an effect")
	}
}

func TestBeginsReadOnly(t *testing.T) {
	for text, want := range map[string]bool{
		"START TRANSACTION READ ONLY":                           true,
		"start transaction with consistent snapshot, read only": true,
		"/* fp:writer */ START /* x */ TRANSACTION READ\nONLY;": true,
		"START TRANSACTION":                                     false,
		"START TRANSACTION READ WRITE":                          false,
		"START TRANSACTION /* READ ONLY */":                     false,
		"START TRANSACTION READ ONLY; DELETE FROM t":            false,
		"BEGIN":                                false,
		"SET TRANSACTION READ ONLY":            false,
		"SELECT 'START TRANSACTION READ ONLY'": false,
		"START TRANSACTION READ WRITE; START TRANSACTION READ ONLY": false,
	} {
		if got := Scan(text, AnyMode).BeginsReadOnly(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func BenchmarkHint(b *testing.B) {
	for name, text := range map[string]string{"none": "SELECT a FROM t WHERE id = 1", "one": "/* fp:reader */ SELECT a FROM t WHERE id = 1"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hint(text)
			}
		})
	}
}
