#include "tests/tools/far_link/device.h"

#include <arpa/inet.h>
#include <cstring>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <set>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace netfs::far_link {

namespace {

constexpr int kMtuBytes = 1500;
// Packets of up to 64 KiB that the kernel holds for us while we are not running.
constexpr int kQueueLength = 4096;
constexpr const char* kWhat = "far_link.device";

sockaddr_in address_of(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  return address;
}

Result<std::set<in_addr_t>> addresses_here() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return Error::from_errno(kWhat);
  std::set<in_addr_t> found;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, at->ifa_addr, sizeof address);
    found.insert(address.sin_addr.s_addr);
  }
  ::freeifaddrs(list);
  return found;
}

Result<void> set(int socket, unsigned long what, ifreq& request, const std::string& name) {
  if (::ioctl(socket, what, &request) == 0) return {};
  return Error(errno, kWhat, "cannot set up " + name);
}

// Gives the device its address, and starts it.
Result<void> bring_up(const std::string& name, const std::string& near) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno(kWhat);
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const sockaddr_in address = address_of(near);
  std::memcpy(&request.ifr_addr, &address, sizeof address);
  TRY(set(socket.get(), SIOCSIFADDR, request, name));
  const sockaddr_in mask = address_of("255.255.255.252");
  std::memcpy(&request.ifr_netmask, &mask, sizeof mask);
  TRY(set(socket.get(), SIOCSIFNETMASK, request, name));
  request.ifr_mtu = kMtuBytes;
  TRY(set(socket.get(), SIOCSIFMTU, request, name));
  request.ifr_qlen = kQueueLength;
  TRY(set(socket.get(), SIOCSIFTXQLEN, request, name));
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return set(socket.get(), SIOCSIFFLAGS, request, name);
}

}  // namespace

Result<Device> make_device() {
  Device device{.fd = UniqueFd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK))};
  if (!device.fd) return Error(errno, kWhat, "cannot open /dev/net/tun");
  ifreq request{};
  std::strcpy(request.ifr_name, "farlink%d");
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(device.fd.get(), TUNSETIFF, &request) != 0) {
    return Error(errno, kWhat, "cannot make a TUN device");
  }
  if (::ioctl(device.fd.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) {
    return Error(errno, kWhat, "the TUN device takes no large packets");
  }
  const std::set<in_addr_t> taken = TRY(addresses_here());
  for (int i = 0; i < 250; ++i) {
    const std::string network = "10.201." + std::to_string((::getpid() + i) % 250) + ".";
    device.near = network + "1";
    device.far = network + "2";
    if (taken.contains(address_of(device.near).sin_addr.s_addr)) continue;
    TRY(bring_up(request.ifr_name, device.near));
    return device;
  }
  return Error(EADDRINUSE, kWhat, "all networks 10.201.0.0/30 to 10.201.249.0/30 are in use");
}

}  // namespace netfs::far_link
