package main

import (
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/volumeactions"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/attachments"
)

const server = "11111111-2222-4333-8444-555555555555"

var connector = map[string]interface{}{"initiator": "iqn.1993-08.org.debian:01:gopher", "host": "gopher", "ip": "127.0.0.1"}

func (s session) attachments() {
	volume := s.makeVolume("held")
	made, err := attachments.Create(s.client, attachments.CreateOpts{VolumeUUID: volume.ID, InstanceUUID: server}).Extract()
	called("attachments.Create", first(err, expect(s.show(volume.ID).Status == "reserved", "it is not reserved")))
	updated, err := attachments.Update(s.client, made.ID, attachments.UpdateOpts{Connector: connector}).Extract()
	kind := updated.ConnectionInfo["driver_volume_type"]
	called("attachments.Update", first(err, expect(kind == "iscsi", "connection_info is %v", updated.ConnectionInfo)))
	called("attachments.Complete", attachments.Complete(s.client, made.ID).ExtractErr())
	called("attachments.WaitForStatus", attachments.WaitForStatus(s.client, made.ID, "attached", patience))
	shown, err := attachments.Get(s.client, made.ID).Extract()
	called("attachments.Get", first(err, expect(shown.VolumeID == volume.ID, "it is %v", shown)))
	pages, err := attachments.List(s.client, attachments.ListOpts{VolumeID: volume.ID}).AllPages()
	called("attachments.List", err)
	listed, err := attachments.ExtractAttachments(pages)
	called("attachments.ExtractAttachments", first(err, expect(len(listed) == 1 && listed[0].ID == made.ID, "listed %v", listed)))
	var into []attachments.Attachment
	err = attachments.ExtractAttachmentsInto(pages, &into)
	called("attachments.ExtractAttachmentsInto", first(err, expect(len(into) == 1, "listed %v", into)))
	err = attachments.Delete(s.client, made.ID).ExtractErr()
	called("attachments.Delete", first(err, s.available(volume.ID)))
	s.remove(volume.ID)
}

func (s session) actions() {
	id := s.makeVolume("used").ID
	status := func(wanted string) error {
		status := s.show(id).Status
		return expect(status == wanted, "it is %v, not %v", status, wanted)
	}
	err := volumeactions.SetImageMetadata(s.client, id, volumeactions.ImageMetadataOpts{Metadata: map[string]string{"os": "any"}}).ExtractErr()
	called("volumeactions.SetImageMetadata", first(err, expect(s.show(id).VolumeImageMetadata["os"] == "any", "it has none")))
	err = volumeactions.SetBootable(s.client, id, volumeactions.BootableOpts{Bootable: true}).ExtractErr()
	called("volumeactions.SetBootable", first(err, expect(s.show(id).Bootable == "true", "it is not bootable")))
	_, err = volumeactions.UploadImage(s.client, id, volumeactions.UploadImageOpts{ImageName: "i", DiskFormat: "raw"}).Extract()
	called("volumeactions.UploadImage", err)

	called("volumeactions.Reserve", first(volumeactions.Reserve(s.client, id).ExtractErr(), status("attaching")))
	called("volumeactions.Unreserve", first(volumeactions.Unreserve(s.client, id).ExtractErr(), status("available")))
	must("reserve", volumeactions.Reserve(s.client, id).ExtractErr())
	initialize := volumeactions.InitializeConnectionOpts{IP: "127.0.0.1", Host: "gopher", Initiator: connector["initiator"].(string)}
	info, err := volumeactions.InitializeConnection(s.client, id, initialize).Extract()
	called("volumeactions.InitializeConnection", first(err, expect(info["driver_volume_type"] == "iscsi", "it is %v", info)))
	attach := volumeactions.AttachOpts{MountPoint: "/dev/vdb", HostName: "gopher", Mode: volumeactions.ReadWrite}
	called("volumeactions.Attach", first(volumeactions.Attach(s.client, id, attach).ExtractErr(), status("in-use")))
	called("volumeactions.BeginDetaching", first(volumeactions.BeginDetaching(s.client, id).ExtractErr(), status("detaching")))
	terminate := volumeactions.TerminateConnectionOpts(initialize)
	called("volumeactions.TerminateConnection", volumeactions.TerminateConnection(s.client, id, terminate).ExtractErr())
	detach := volumeactions.DetachOpts{AttachmentID: s.show(id).Attachments[0].AttachmentID}
	called("volumeactions.Detach", first(volumeactions.Detach(s.client, id, detach).ExtractErr(), status("available")))

	err = volumeactions.ExtendSize(s.client, id, volumeactions.ExtendSizeOpts{NewSize: 2}).ExtractErr()
	called("volumeactions.ExtendSize", first(err, s.available(id), expect(s.show(id).Size == 2, "it has not grown")))
	called("volumeactions.ForceDelete", first(volumeactions.ForceDelete(s.client, id).ExtractErr(), s.gone(id)))
}
