package main

import (
	"github.com/gophercloud/gophercloud/openstack/blockstorage/apiversions"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/backups"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/quotasets"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/schedulerstats"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/services"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/extensions/volumetransfers"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/volumetypes"
)

func (s session) types() {
	options := volumetypes.CreateOpts{Name: "fast", ExtraSpecs: map[string]string{"a": "b"}}
	made, err := volumetypes.Create(s.client, options).Extract()
	called("volumetypes.Create", err)
	name := "quick"
	_, err = volumetypes.Update(s.client, made.ID, volumetypes.UpdateOpts{Name: &name}).Extract()
	called("volumetypes.Update", err)
	shown, err := volumetypes.Get(s.client, made.ID).Extract()
	called("volumetypes.Get", first(err, expect(shown.Name == "quick" && shown.ExtraSpecs["a"] == "b", "it is %v", shown)))
	pages, err := volumetypes.List(s.client, volumetypes.ListOpts{}).AllPages()
	called("volumetypes.List", err)
	listed, err := volumetypes.ExtractVolumeTypes(pages)
	called("volumetypes.ExtractVolumeTypes", first(err, expect(len(listed) == 2, "listed %v", listed)))
	var into []volumetypes.VolumeType
	err = volumetypes.ExtractVolumeTypesInto(pages, &into)
	called("volumetypes.ExtractVolumeTypesInto", first(err, expect(len(into) == 2, "listed %v", into)))
	err = volumetypes.Delete(s.client, made.ID).ExtractErr()
	_, missing := volumetypes.Get(s.client, made.ID).Extract()
	called("volumetypes.Delete", first(err, expect(missing != nil, "it is still there")))
}

func (s session) transfers() {
	volume := s.makeVolume("given")
	offer := volumetransfers.CreateOpts{VolumeID: volume.ID, Name: "gift"}
	made, err := volumetransfers.Create(s.client, offer).Extract()
	called("volumetransfers.Create", err)
	shown, err := volumetransfers.Get(s.client, made.ID).Extract()
	called("volumetransfers.Get", first(err, expect(shown.VolumeID == volume.ID, "it is %v", shown)))
	pages, err := volumetransfers.List(s.client, volumetransfers.ListOpts{AllTenants: true}).AllPages()
	called("volumetransfers.List", err)
	listed, err := volumetransfers.ExtractTransfers(pages)
	called("volumetransfers.ExtractTransfers", first(err, expect(len(listed) == 1, "listed %v", listed)))
	var into []volumetransfers.Transfer
	err = volumetransfers.ExtractTransfersInto(pages, &into)
	called("volumetransfers.ExtractTransfersInto", first(err, expect(len(into) == 1, "listed %v", into)))
	_, err = volumetransfers.Accept(s.client, made.ID, volumetransfers.AcceptOpts{AuthKey: made.AuthKey}).Extract()
	called("volumetransfers.Accept", first(err, expect(s.show(volume.ID).Status == "available", "it is not available")))
	made, err = volumetransfers.Create(s.client, offer).Extract()
	must("offer a volume again", err)
	err = volumetransfers.Delete(s.client, made.ID).ExtractErr()
	called("volumetransfers.Delete", first(err, expect(s.show(volume.ID).Status == "available", "it is not available")))
	s.remove(volume.ID)
}

func (s session) quotas() {
	defaults, err := quotasets.GetDefaults(s.client, s.project).Extract()
	called("quotasets.GetDefaults", first(err, expect(defaults.Volumes > 0, "they are %v", defaults)))
	wanted := defaults.Volumes + 1
	_, err = quotasets.Update(s.client, s.project, quotasets.UpdateOpts{Volumes: &wanted}).Extract()
	called("quotasets.Update", err)
	set, err := quotasets.Get(s.client, s.project).Extract()
	called("quotasets.Get", first(err, expect(set.Volumes == wanted, "it is %v", set)))
	usage, err := quotasets.GetUsage(s.client, s.project).Extract()
	called("quotasets.GetUsage", first(err, expect(usage.Volumes.Limit == wanted && usage.Volumes.InUse == 0, "it is %v", usage)))
	err = quotasets.Delete(s.client, s.project).ExtractErr()
	set, missing := quotasets.Get(s.client, s.project).Extract()
	called("quotasets.Delete", first(err, missing, expect(set.Volumes == defaults.Volumes, "it is %v", set)))
}

func (s session) services() {
	pages, err := services.List(s.client, services.ListOpts{Binary: "cinder-volume"}).AllPages()
	called("services.List", err)
	listed, err := services.ExtractServices(pages)
	called("services.ExtractServices", first(err, expect(len(listed) == 2, "listed %v", listed)))
	pages, err = schedulerstats.List(s.client, schedulerstats.ListOpts{Detail: true}).AllPages()
	called("schedulerstats.List", err)
	pools, err := schedulerstats.ExtractStoragePools(pages)
	called("schedulerstats.ExtractStoragePools", first(err, expect(len(pools) == 2, "listed %v", pools)))
	pages, err = apiversions.List(s.client).AllPages()
	called("apiversions.List", err)
	versions, err := apiversions.ExtractAPIVersions(pages)
	called("apiversions.ExtractAPIVersions", first(err, expect(len(versions) == 1, "listed %v", versions)))
	version, err := apiversions.ExtractAPIVersion(pages, "v3.0")
	called("apiversions.ExtractAPIVersion", first(err, expect(version != nil && version.Version == "3.71", "it is %v", version)))
}

// None of it is served: only that each call says so.
func (s session) backups() {
	volume := s.makeVolume("kept")
	_, err := backups.Create(s.client, backups.CreateOpts{VolumeID: volume.ID}).Extract()
	called("backups.Create", err)
	_, err = backups.Get(s.client, server).Extract()
	called("backups.Get", err)
	_, err = backups.Update(s.client, server, backups.UpdateOpts{Name: &volume.Name}).Extract()
	called("backups.Update", err)
	_, err = backups.List(s.client, backups.ListOpts{}).AllPages()
	called("backups.List", err)
	_, err = backups.RestoreFromBackup(s.client, server, backups.RestoreOpts{Name: "again"}).Extract()
	called("backups.RestoreFromBackup", err)
	_, err = backups.Export(s.client, server).Extract()
	called("backups.Export", err)
	_, err = backups.Import(s.client, backups.ImportOpts{BackupService: "s", BackupURL: []byte("u")}).Extract()
	called("backups.Import", err)
	called("backups.Delete", backups.Delete(s.client, server).ExtractErr())
	s.remove(volume.ID)
}

