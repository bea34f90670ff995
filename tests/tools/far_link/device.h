#pragma once
// The TUN device of a far link: a network of two addresses, of which the host has one.
//
// Packets may be larger than the device's MTU, as segmentation is left to it (IFF_VNET_HDR): each
// read and write has a PacketHeader before the packet.  The device goes with its descriptor.
// Needs CAP_NET_ADMIN and /dev/net/tun.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::far_link {

// struct virtio_net_hdr, whose own header is not C++.
struct PacketHeader {
  uint8_t flags;
  uint8_t gso_type;  // 0: one frame as it is
  uint16_t header_bytes;
  uint16_t gso_bytes;  // of data in each frame
  uint16_t checksum_start;
  uint16_t checksum_offset;
};
static_assert(sizeof(PacketHeader) == 10);

struct Device {
  UniqueFd fd;       // non-blocking
  std::string near;  // servers listen there
  std::string far;   // and are asked here
};

// The first network 10.201.N.0/30 that nobody has here.  EADDRINUSE: there is none.
Result<Device> make_device();

}  // namespace netfs::far_link
