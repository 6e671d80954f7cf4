package main

import (
	"fmt"
	"time"
)

// line is a line of versions and the month after which nobody mends it any more.
type line struct {
	major, minor int
	end          string
}

// When support ends: https://www.oracle.com/us/support/library/lifetime-support-technology-069183.pdf,
// https://endoflife.date/mysql, https://mariadb.org/about/#maintenance-policy, https://docs.aws.amazon.com/AmazonRDS/latest/AuroraMySQLReleaseNotes/AuroraMySQL.release-calendars.html.
var (
	mysqlLines = []line{
		{5, 5, "2018-12"},
		{5, 6, "2021-02"},
		{5, 7, "2023-10"},
		{8, 0, "2026-04"},
		{8, 1, "2023-10"},
		{8, 2, "2023-12"},
		{8, 3, "2024-04"},
		{8, 4, "2032-04"},
		{9, 0, "2024-10"},
		{9, 1, "2025-01"},
		{9, 2, "2025-04"},
		{9, 3, "2025-07"},
		{9, 4, "2025-10"},
		{9, 5, "2026-01"},
		{9, 6, "2026-04"},
		{9, 7, "2034-04"},
	}
	mariaDBLines = []line{
		{10, 2, "2022-05"},
		{10, 3, "2023-05"},
		{10, 4, "2024-06"},
		{10, 5, "2025-06"},
		{10, 6, "2026-07"},
		{10, 7, "2023-02"},
		{10, 8, "2023-05"},
		{10, 9, "2023-08"},
		{10, 10, "2023-11"},
		{10, 11, "2028-02"},
		{11, 0, "2024-06"},
		{11, 1, "2024-08"},
		{11, 2, "2024-11"},
		{11, 3, "2024-05"},
		{11, 4, "2029-05"},
		{11, 5, "2024-11"},
		{11, 6, "2025-02"},
		{11, 7, "2025-05"},
		{11, 8, "2028-06"},
		{12, 0, "2025-11"},
	}
	auroraLines = []line{{1, 0, "2023-02"}, {2, 0, "2024-10"}, {3, 0, "2028-04"}}
)

// checkVersion tells what runs there, and whether somebody still mends it.
func checkVersion(f *facts) []finding {
	return f.each("version", "", func(in *instance) []finding {
		product, version, lines := "MySQL", in.variables["version"], mysqlLines
		switch {
		case in.aurora():
			product, version, lines = "Aurora MySQL", in.variables["aurora_version"], auroraLines
		case in.mariaDB():
			product, lines = "MariaDB", mariaDBLines
		}
		if version == "" {
			return []finding{{Level: skip, Text: "is not known"}}
		}
		one := finding{Level: ok, Text: product + " " + oneLine(version)}
		end, known := endOf(version, lines, in.aurora())
		switch {
		case !known:
			one.Text += "; how long it is supported is not known here"
		case f.now.After(end.AddDate(0, 1, 0)):
			one.Level = warn
			one.Text += ", whose support ended in " + end.Format("January 2006")
			one.Advice = "plan an upgrade; an upgrade is a failover, too"
		default:
			one.Text += ", supported until " + end.Format("January 2006")
		}
		return []finding{one}
	})
}

// endOf finds a version's line: by its first number alone if short.
func endOf(version string, lines []line, short bool) (time.Time, bool) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return time.Time{}, false
	}
	for _, l := range lines {
		if l.major == major && (short || l.minor == minor) {
			end, err := time.Parse("2006-01", l.end)
			return end, err == nil
		}
	}
	return time.Time{}, false
}

// older reports whether a version comes before another one.
func older(version string, major, minor int) bool {
	var a, b int
	_, err := fmt.Sscanf(version, "%d.%d", &a, &b)
	return err == nil && (a < major || a == major && b < minor)
}
