package awsauth_test

import (
	"database/sql"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/driver/awsauth"
	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/minidb"
)

// keys stand for what the SDK finds in Lambda, ECS, EKS or EC2 if IAMConfig.AWS is left out.
var keys = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")

func ExampleIAM() {
	server := simulatedRDS("shop.cluster-abc123.eu-west-1.rds.amazonaws.com")
	defer server.Close()

	// No user, no password; TLS must be on. In production: ?fpTLSCA=global-bundle.pem
	cfg, err := driver.ParseDSN("tcp(shop.cluster-abc123.eu-west-1.rds.amazonaws.com)/?tls=rds")
	if err != nil {
		log.Fatal(err)
	}
	connector, err := driver.NewConnector(cfg,
		driver.WithCredentials(awsauth.IAM(awsauth.IAMConfig{User: "app", AWS: &aws.Config{Credentials: keys}})),
		driver.WithDialer(server.Dial), quiet)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var version string
	if err := db.QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		log.Fatal(err)
	}
	fmt.Println("logged in with a token to", version)
	// Output: logged in with a token to 8.0.39-fake
}

func ExampleSecret() {
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"app": "rotated"}, Handler: minidb.New()})
	defer server.Close()

	cfg, err := driver.ParseDSN("tcp(db.example.com)/")
	if err != nil {
		log.Fatal(err)
	}
	provider := awsauth.Secret(awsauth.SecretConfig{ID: "prod/shop", AWS: &aws.Config{
		Region: "eu-west-1", Credentials: keys, HTTPClient: simulatedManager{},
	}})
	connector, err := driver.NewConnector(cfg, driver.WithCredentials(provider), driver.WithDialer(server.Dial), quiet)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	if err := db.Ping(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(provider, "was read", provider.Stats().Calls, "time")
	// Output: awsauth.Secret("prod/shop") was read 1 time
}

// The forms that docs/aws.md shows, with AWS's own endpoints.
func Example_documentation() {
	cfg, err := driver.ParseDSN("tcp(shop.cluster-abc123.eu-west-1.rds.amazonaws.com)/shop?fpTLSCA=global-bundle.pem")
	if err != nil {
		log.Fatal(err)
	}
	db, err := driver.OpenDB(cfg, driver.WithCredentials(awsauth.IAM(awsauth.IAMConfig{User: "app"})))
	fmt.Println(db == nil, strings.Contains(err.Error(), "fpTLSCA"))

	tunnelled := awsauth.IAM(awsauth.IAMConfig{User: "app", Endpoints: map[string]string{
		"db.example.com":  "shop.cluster-abc123.eu-west-1.rds.amazonaws.com",
		"localhost:13306": "shop.cluster-abc123.eu-west-1.rds.amazonaws.com:3306",
	}})
	secret := awsauth.Secret(awsauth.SecretConfig{ID: "prod/shop"}) // a name, or an ARN, which tells the region
	fmt.Println(tunnelled, secret)
	// Output:
	// true true
	// awsauth.IAM("app") awsauth.Secret("prod/shop")
}

var quiet = driver.WithLogger(slog.New(slog.DiscardHandler))

// simulatedRDS is a server that asks for passwords in clear.
func simulatedRDS(host string) *fakemysql.Server {
	own, roots, err := fakemysql.SelfSigned(host)
	if err != nil {
		log.Fatal(err)
	}
	client := own.Clone()
	client.Certificates, client.RootCAs = nil, roots
	if err := mysql.RegisterTLSConfig("rds", client); err != nil {
		log.Fatal(err)
	}
	return fakemysql.New(fakemysql.Config{TLS: own, RequireTLS: true, UserPlugins: map[string]string{"app": "mysql_clear_password"}, Handler: minidb.New()})
}

// simulatedManager is a Secrets Manager with one secret.
type simulatedManager struct{}

func (simulatedManager) Do(*http.Request) (*http.Response, error) {
	const answer = `{"VersionId": "1", "SecretString": "{\"username\": \"app\", \"password\": \"rotated\"}"}`
	return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(answer))}, nil
}
