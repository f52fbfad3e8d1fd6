/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rest of libxendevicemodel, so that a device model that needs its symbols starts: the simulated host
 * emulates no devices and says so.
 */
#include <errno.h>
#include <xendevicemodel.h>

#define NOT_SIMULATED(name, ...)                                                                             \
	int name(__VA_ARGS__)                                                                                \
	{                                                                                                    \
		errno = EOPNOTSUPP;                                                                          \
		return -1;                                                                                   \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define TARGET xendevicemodel_handle *dmod, domid_t domid
#define SERVER TARGET, ioservid_t id

NOT_SIMULATED(xendevicemodel_create_ioreq_server, TARGET, int handle_bufioreq, ioservid_t *id)
NOT_SIMULATED(xendevicemodel_get_ioreq_server_info, SERVER, xen_pfn_t *ioreq_gfn, xen_pfn_t *bufioreq_gfn,
	evtchn_port_t *bufioreq_port)
NOT_SIMULATED(xendevicemodel_map_io_range_to_ioreq_server, SERVER, int is_mmio, uint64_t start, uint64_t end)
NOT_SIMULATED(
	xendevicemodel_unmap_io_range_from_ioreq_server, SERVER, int is_mmio, uint64_t start, uint64_t end)
NOT_SIMULATED(xendevicemodel_map_mem_type_to_ioreq_server, SERVER, uint16_t type, uint32_t flags)
NOT_SIMULATED(xendevicemodel_map_pcidev_to_ioreq_server, SERVER, uint16_t segment, uint8_t bus,
	uint8_t device, uint8_t function)
NOT_SIMULATED(xendevicemodel_unmap_pcidev_from_ioreq_server, SERVER, uint16_t segment, uint8_t bus,
	uint8_t device, uint8_t function)
NOT_SIMULATED(xendevicemodel_destroy_ioreq_server, SERVER)
NOT_SIMULATED(xendevicemodel_set_ioreq_server_state, SERVER, int enabled)
NOT_SIMULATED(xendevicemodel_set_pci_intx_level, TARGET, uint16_t segment, uint8_t bus, uint8_t device,
	uint8_t intx, unsigned int level)
NOT_SIMULATED(xendevicemodel_set_isa_irq_level, TARGET, uint8_t irq, unsigned int level)
NOT_SIMULATED(xendevicemodel_set_irq_level, TARGET, unsigned int irq, unsigned int level)
NOT_SIMULATED(xendevicemodel_set_pci_link_route, TARGET, uint8_t link, uint8_t irq)
NOT_SIMULATED(xendevicemodel_inject_msi, TARGET, uint64_t msi_addr, uint32_t msi_data)
NOT_SIMULATED(xendevicemodel_set_mem_type, TARGET, hvmmem_type_t mem_type, uint64_t first_pfn, uint32_t nr)
NOT_SIMULATED(xendevicemodel_inject_event, TARGET, int vcpu, uint8_t vector, uint8_t type,
	uint32_t error_code, uint8_t insn_len, uint64_t extra)
NOT_SIMULATED(xendevicemodel_shutdown, TARGET, unsigned int reason)
NOT_SIMULATED(xendevicemodel_nr_vcpus, TARGET, unsigned int *vcpus)
