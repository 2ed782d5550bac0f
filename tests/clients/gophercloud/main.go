// Calls each function of gophercloud's block storage packages once, and prints a line of JSON for each: its name, and what went wrong,
// if anything did. What a call left undone goes wrong, too. Credentials come from the environment, as for any OpenStack client.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack"
	"github.com/gophercloud/gophercloud/openstack/identity/v3/tokens"
)

// The client of the service, and the project that it works in.
type session struct {
	client  *gophercloud.ServiceClient
	project string
}

// Records a call: what it returned, or what its effect lacks.
func called(name string, err error) {
	line := map[string]string{"call": name, "error": ""}
	if err != nil {
		line["error"] = err.Error()
	}
	text, err := json.Marshal(line)
	must("write a line", err)
	fmt.Println(string(text))
}

// What must not fail, because all that follows needs it.
func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// An error if what a call was to do is not there.
func expect(there bool, format string, values ...interface{}) error {
	if there {
		return nil
	}
	return fmt.Errorf(format, values...)
}

// The first of some errors.
func first(errors ...error) error {
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	options, err := openstack.AuthOptionsFromEnv()
	must("environment", err)
	provider, err := openstack.AuthenticatedClient(options)
	must("log in", err)
	client, err := openstack.NewBlockStorageV3(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")})
	must("find the endpoint", err)
	client.Microversion = "3.71"
	project, err := provider.GetAuthResult().(tokens.CreateResult).ExtractProject()
	must("read the token", err)
	session := session{client, project.ID}

	session.volumes()
	session.snapshots()
	session.attachments()
	session.actions()
	session.types()
	session.transfers()
	session.quotas()
	session.services()
	session.backups()
}
