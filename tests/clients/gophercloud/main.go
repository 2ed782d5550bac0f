// A volume's life as gophercloud sees it: log in, create, list, extend, attach, detach, delete. It says what failed and ends
// with 1, or prints "gophercloud: ok". Credentials come from the environment, as for any OpenStack client.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/volumeactions"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/attachments"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/volumetypes"
)

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func waitFor(client *gophercloud.ServiceClient, id, status string) {
	check("wait for "+status, volumes.WaitForStatus(client, id, status, 30))
}

func main() {
	options, err := openstack.AuthOptionsFromEnv()
	check("environment", err)
	provider, err := openstack.AuthenticatedClient(options)
	check("log in", err)
	client, err := openstack.NewBlockStorageV3(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")})
	check("find the endpoint", err)
	client.Microversion = "3.44"

	volume, err := volumes.Create(client, volumes.CreateOpts{Size: 1, Name: "gopher", Metadata: map[string]string{"a": "b"}}).Extract()
	check("create", err)
	waitFor(client, volume.ID, "available")

	pages, err := volumes.List(client, volumes.ListOpts{Name: "gopher"}).AllPages()
	check("list", err)
	found, err := volumes.ExtractVolumes(pages)
	check("read the list", err)
	if len(found) != 1 || found[0].ID != volume.ID || found[0].Metadata["a"] != "b" {
		check("list", fmt.Errorf("found %v", found))
	}
	types, err := volumetypes.List(client, volumetypes.ListOpts{}).AllPages()
	check("list types", err)
	known, err := volumetypes.ExtractVolumeTypes(types)
	check("read the types", err)
	if len(known) == 0 {
		check("list types", fmt.Errorf("there is none"))
	}

	check("extend", volumeactions.ExtendSize(client, volume.ID, volumeactions.ExtendSizeOpts{NewSize: 2}).ExtractErr())
	waitFor(client, volume.ID, "available")

	attachment, err := attachments.Create(client, attachments.CreateOpts{
		VolumeUUID:   volume.ID,
		InstanceUUID: "11111111-2222-4333-8444-555555555555",
		Connector:    map[string]interface{}{"initiator": "iqn.1993-08.org.debian:01:gopher", "host": "gopher"},
	}).Extract()
	check("attach", err)
	if attachment.ConnectionInfo["driver_volume_type"] != "iscsi" {
		check("attach", fmt.Errorf("connection_info is %v", attachment.ConnectionInfo))
	}
	check("complete", attachments.Complete(client, attachment.ID).ExtractErr())
	waitFor(client, volume.ID, "in-use")
	check("detach", attachments.Delete(client, attachment.ID).ExtractErr())
	waitFor(client, volume.ID, "available")

	check("delete", volumes.Delete(client, volume.ID, volumes.DeleteOpts{}).ExtractErr())
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := volumes.Get(client, volume.ID).Extract()
		if _, gone := err.(gophercloud.ErrDefault404); gone {
			break
		}
		check("look for it", err)
		if time.Since(begun) > 30*time.Second {
			check("delete", fmt.Errorf("it is still there"))
		}
	}
	fmt.Println("gophercloud: ok")
}
