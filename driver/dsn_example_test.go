package driver_test

import (
	"fmt"

	"github.com/failoverproxy/failoverproxy/driver"
)

func ExampleParseDSN() {
	cfg, err := driver.ParseDSN("app:hunter2@tcp(db-1:3306,db-2)/shop?parseTime=true&fpTopology=static&fpPoolSize=50")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Hosts, cfg.Topology, cfg.PoolSize, cfg.ProbeInterval, cfg.MySQL.DBName)
	fmt.Println(cfg) // never with the password

	_, err = driver.ParseDSN("app:hunter2@tcp(db-1:3306)/shop?fpProbeIntervall=5s")
	fmt.Println(err)
	// Output:
	// [db-1:3306 db-2:3306] static 50 5s shop
	// app:xxxxx@tcp(db-1:3306,db-2:3306)/shop?parseTime=true&fpTopology=static&fpPoolSize=50
	// failoverproxy: fpProbeIntervall: unknown parameter, did you mean fpProbeInterval?
}
