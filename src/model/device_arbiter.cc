#include "model/device_arbiter.h"

#include <algorithm>

namespace foretoken {

DeviceOrder::ClientId DeviceOrder::Add() {
  const auto id = static_cast<ClientId>(next_id_++);
  clients_.emplace(id, Client());
  return id;
}

void DeviceOrder::Remove(ClientId id) {
  clients_.erase(id);
}

void DeviceOrder::Arrive(ClientId id, Time now) {
  Client& client = clients_.at(id);
  if (now >= client.idle_from) client.used = std::max(client.used, served_);
  client.arrival = next_arrival_++;
}

DeviceOrder::Entry DeviceOrder::Least() const {
  auto least = clients_.end();
  for (auto it = clients_.begin(); it != clients_.end(); ++it) {
    const Client& client = it->second;
    if (!client.arrival) continue;
    if (least == clients_.end() || client.used < least->second.used ||
        (client.used == least->second.used && *client.arrival < *least->second.arrival)) {
      least = it;
    }
  }
  return least;
}

DeviceOrder::Time DeviceOrder::kept_until() const {
  Time until{};
  const auto least = Least();
  if (least == clients_.end()) return until;
  for (const auto& [id, client] : clients_) {
    const bool is_behind = !client.arrival && client.used < least->second.used;
    if (is_behind) until = std::max(until, client.idle_from);
  }
  return until;
}

std::optional<DeviceOrder::ClientId> DeviceOrder::Next(Time now) const {
  const auto least = Least();
  if (running_ || least == clients_.end() || now < kept_until()) return std::nullopt;
  return least->first;
}

void DeviceOrder::Start(ClientId id, Time now) {
  Client& client = clients_.at(id);
  client.arrival.reset();
  served_ = std::max(served_, client.used);
  running_ = id;
  started_ = now;
}

void DeviceOrder::Finish(ClientId id, Time now) {
  Client& client = clients_.at(id);
  client.used += now - started_;
  client.idle_from = now + patience_;
  running_.reset();
}

DeviceArbiter& DeviceArbiter::Cpu() {
  static DeviceArbiter arbiter;
  return arbiter;
}

std::shared_ptr<DeviceClient> DeviceArbiter::NewClient() {
  MutexLock lock(mutex_);
  return std::make_shared<DeviceClient>(*this, order_.Add());
}

void DeviceArbiter::Remove(DeviceOrder::ClientId id) {
  MutexLock lock(mutex_);
  order_.Remove(id);
  changed_.NotifyAll();
}

void DeviceArbiter::Begin(DeviceOrder::ClientId id) {
  MutexLock lock(mutex_);
  auto now = std::chrono::steady_clock::now();
  order_.Arrive(id, now);
  for (; order_.Next(now) != id; now = std::chrono::steady_clock::now()) {
    if (now < order_.kept_until()) {
      changed_.WaitUntil(mutex_, order_.kept_until());
    } else {
      changed_.Wait(mutex_);
    }
  }
  order_.Start(id, now);
}

void DeviceArbiter::End(DeviceOrder::ClientId id) {
  MutexLock lock(mutex_);
  order_.Finish(id, std::chrono::steady_clock::now());
  changed_.NotifyAll();
}

}  // namespace foretoken
