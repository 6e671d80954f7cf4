// Package awsauth logs in to Aurora and RDS without a password in the DSN: by IAM tokens, or
// by a secret of AWS Secrets Manager that is rotated while the program runs. It is a module
// of its own, so that the driver brings no AWS SDK with it.
//
//	connector, err := driver.NewConnector(cfg, driver.WithCredentials(awsauth.IAM(awsauth.IAMConfig{User: "app"})))
//	connector, err := driver.NewConnector(cfg, driver.WithCredentials(awsauth.Secret(awsauth.SecretConfig{ID: "prod/shop"})))
//
// [IAM] signs a token for each instance, with the host that the cluster gives it and the
// region in that name. A token is good for 15 minutes, and only for new connections:
// those that there are live on. It goes over the wire as it is, so NewConnector refuses a
// configuration without TLS.
//
// [Secret] reads the user and the password that RDS keeps in a secret. Before the end of a TTL,
// and at once when a server refuses what there is, it is read again; connections made with the
// old password live on. In the middle of a rotation a server is offered the next and the
// previous version, too.
//
// Both use the AWS credentials that the SDK finds: environment, shared files, the role of the
// function, container or machine. Neither does anything before the first connection, nor
// has goroutines of its own. Errors say which call failed, and what permission is missing;
// neither errors nor %+v of a provider show a secret.
//
// docs/aws.md has the policies, the grants and what each costs at a cold start.
package awsauth
