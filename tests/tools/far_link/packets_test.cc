#include "tests/tools/far_link/packets.h"

#include <gtest/gtest.h>
#include <vector>

namespace netfs::far_link {
namespace {

constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kAck = 0x10;

// IPv4 with `options` words of options, then TCP.
std::vector<uint8_t> packet(uint16_t from, uint16_t to, uint8_t flags, size_t options = 0) {
  const size_t tcp = 20 + options * 4;
  std::vector<uint8_t> bytes(tcp + 20);
  bytes[0] = static_cast<uint8_t>(0x45 + options);
  bytes[9] = IPPROTO_TCP;
  const uint8_t addresses[] = {10, 201, 7, 1, 10, 201, 7, 2};
  std::copy(std::begin(addresses), std::end(addresses), bytes.begin() + 12);
  bytes[tcp] = static_cast<uint8_t>(from >> 8);
  bytes[tcp + 1] = static_cast<uint8_t>(from);
  bytes[tcp + 2] = static_cast<uint8_t>(to >> 8);
  bytes[tcp + 3] = static_cast<uint8_t>(to);
  bytes[tcp + 13] = flags;
  return bytes;
}

// The Internet checksum's sum, over the addresses and the ports.
uint32_t sum_of(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 12; i < 24; i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  return sum;
}

TEST(Packets, PortsAreFoundBehindOptionsOfIp) {
  const std::optional<Ports> ports = tcp_ports(packet(40000, 443, kSyn, 3));
  ASSERT_TRUE(ports);
  EXPECT_EQ(ports->from, 40000);
  EXPECT_EQ(ports->to, 443);
  EXPECT_TRUE(ports->opens);
  EXPECT_FALSE(tcp_ports(packet(443, 40000, kSyn | kAck))->opens);
}

TEST(Packets, WhatIsNoTcpOverIpv4IsNone) {
  std::vector<uint8_t> udp = packet(1, 2, 0);
  udp[9] = IPPROTO_UDP;
  EXPECT_FALSE(tcp_ports(udp));
  std::vector<uint8_t> ipv6 = packet(1, 2, 0);
  ipv6[0] = 0x65;
  EXPECT_FALSE(tcp_ports(ipv6));
  std::vector<uint8_t> cut = packet(1, 2, 0);
  cut.resize(39);
  EXPECT_FALSE(tcp_ports(cut));
  std::vector<uint8_t> short_header = packet(1, 2, 0);
  short_header[0] = 0x44;
  EXPECT_FALSE(tcp_ports(short_header));
  EXPECT_FALSE(tcp_ports({}));
}

TEST(Packets, TurnedRoundItGoesToWhoSentItAndItsSumIsTheSame) {
  std::vector<uint8_t> bytes = packet(40000, 80, kSyn);
  const uint32_t sum = sum_of(bytes);
  turn_round(bytes);
  EXPECT_EQ(bytes[15], 2);
  EXPECT_EQ(bytes[19], 1);
  EXPECT_EQ(sum_of(bytes), sum);
  EXPECT_EQ(tcp_ports(bytes)->from, 40000);
}

TEST(Packets, TheWayToTheServerIsThatOfTheFirstSyn) {
  Directions directions;
  EXPECT_EQ(directions.of({.from = 40000, .to = 80, .opens = true}), 0);
  EXPECT_EQ(directions.of({.from = 80, .to = 40000}), 1);
  EXPECT_EQ(directions.of({.from = 40000, .to = 80}), 0);
  // The other way round, once that is what somebody opens.
  EXPECT_EQ(directions.of({.from = 80, .to = 40000, .opens = true}), 0);
  EXPECT_EQ(directions.of({.from = 40000, .to = 80}), 1);
}

}  // namespace
}  // namespace netfs::far_link
