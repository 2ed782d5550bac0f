package main

import (
	"fmt"
	"time"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/volumes"
)

// How long a change may take, in seconds.
const patience = 30

// Waits until something is so. `gophercloud.WaitFor` sleeps a second before it looks.
func until(so func() bool) error {
	for begun := time.Now(); time.Since(begun) < patience*time.Second; time.Sleep(20 * time.Millisecond) {
		if so() {
			return nil
		}
	}
	return fmt.Errorf("it is not so after %d s", patience)
}

func isGone(err error) bool {
	_, gone := err.(gophercloud.ErrDefault404)
	return gone
}

// A volume that is there, for calls of other packages.
func (s session) makeVolume(name string) *volumes.Volume {
	volume, err := volumes.Create(s.client, volumes.CreateOpts{Size: 1, Name: name}).Extract()
	must("make a volume", err)
	must("wait for a volume", s.available(volume.ID))
	return volume
}

func (s session) show(id string) *volumes.Volume {
	volume, err := volumes.Get(s.client, id).Extract()
	must("show a volume", err)
	return volume
}

func (s session) available(id string) error {
	return until(func() bool { return s.show(id).Status == "available" })
}

func (s session) gone(id string) error {
	return until(func() bool { return isGone(volumes.Get(s.client, id).Err) })
}

func (s session) remove(id string) {
	must("delete a volume", volumes.Delete(s.client, id, volumes.DeleteOpts{Cascade: true}).ExtractErr())
	must("delete a volume", s.gone(id))
}

func (s session) volumes() {
	options := volumes.CreateOpts{Size: 1, Name: "one", Metadata: map[string]string{"a": "b"}}
	volume, err := volumes.Create(s.client, options).Extract()
	called("volumes.Create", err)
	called("volumes.WaitForStatus", volumes.WaitForStatus(s.client, volume.ID, "available", patience))
	shown, err := volumes.Get(s.client, volume.ID).Extract()
	called("volumes.Get", first(err, expect(shown.Metadata["a"] == "b", "metadata are %v", shown.Metadata)))
	name, description := "two", "words"
	_, err = volumes.Update(s.client, volume.ID, volumes.UpdateOpts{Name: &name, Description: &description}).Extract()
	shown = s.show(volume.ID)
	called("volumes.Update", first(err, expect(shown.Name == "two" && shown.Description == "words", "it is %v", shown)))

	pages, err := volumes.List(s.client, volumes.ListOpts{Name: "two", AllTenants: true}).AllPages()
	called("volumes.List", err)
	listed, err := volumes.ExtractVolumes(pages)
	called("volumes.ExtractVolumes", first(err, expect(len(listed) == 1 && listed[0].ID == volume.ID, "listed %v", listed)))
	var into []volumes.Volume
	err = volumes.ExtractVolumesInto(pages, &into)
	called("volumes.ExtractVolumesInto", first(err, expect(len(into) == 1, "listed %v", into)))

	err = volumes.Delete(s.client, volume.ID, volumes.DeleteOpts{}).ExtractErr()
	called("volumes.Delete", first(err, s.gone(volume.ID)))
}

func (s session) snapshots() {
	volume := s.makeVolume("source")
	made, err := snapshots.Create(s.client, snapshots.CreateOpts{VolumeID: volume.ID, Name: "early"}).Extract()
	called("snapshots.Create", err)
	called("snapshots.WaitForStatus", snapshots.WaitForStatus(s.client, made.ID, "available", patience))
	options := snapshots.UpdateMetadataOpts{Metadata: map[string]interface{}{"a": "b"}}
	metadata, err := snapshots.UpdateMetadata(s.client, made.ID, options).ExtractMetadata()
	called("snapshots.UpdateMetadata", first(err, expect(metadata["a"] == "b", "metadata are %v", metadata)))
	shown, err := snapshots.Get(s.client, made.ID).Extract()
	called("snapshots.Get", first(err, expect(shown.Metadata["a"] == "b" && shown.VolumeID == volume.ID, "it is %v", shown)))
	pages, err := snapshots.List(s.client, snapshots.ListOpts{VolumeID: volume.ID}).AllPages()
	called("snapshots.List", err)
	listed, err := snapshots.ExtractSnapshots(pages)
	called("snapshots.ExtractSnapshots", first(err, expect(len(listed) == 1 && listed[0].ID == made.ID, "listed %v", listed)))
	err = snapshots.Delete(s.client, made.ID).ExtractErr()
	gone := until(func() bool { return isGone(snapshots.Get(s.client, made.ID).Err) })
	called("snapshots.Delete", first(err, gone))
	s.remove(volume.ID)
}

