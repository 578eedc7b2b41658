#ifndef FORETOKEN_MODEL_DEVICE_ARBITER_H_
#define FORETOKEN_MODEL_DEVICE_ARBITER_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "base/mutex.h"

namespace foretoken {

// Whose turn on a device it is: of the clients that wait, the one's that has used it for the least
// time. A client that comes back from idling counts as having used as much as the others, so
// nobody saves time up; but one that is behind and comes back within the patience was not idle, and
// the device is kept for it, or a client with short forwards would get one for each long one of
// another. Plain data with the time told to it; not thread-safe.
class DeviceOrder {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  enum class ClientId : int64_t {};

  explicit DeviceOrder(Duration patience) : patience_(patience) {}

  ClientId Add();
  // Precondition for this and all below: the client is here; here, it neither waits nor runs.
  void Remove(ClientId id);
  // From now on the client waits for its turn.
  void Arrive(ClientId id, Time now);
  // Who may start now; absent: nobody waits, the device is busy, or it is kept until kept_until().
  std::optional<ClientId> Next(Time now) const;
  // Until when the device is kept for clients that are behind those that wait; a time gone by: it
  // is not, or nobody waits.
  Time kept_until() const;
  // Precondition: Next(now) is `id`.
  void Start(ClientId id, Time now);
  void Finish(ClientId id, Time now);

  Duration used(ClientId id) const { return clients_.at(id).used; }

 private:
  struct Client {
    Duration used{};                 // of the device, and what idling is counted as
    std::optional<int64_t> arrival;  // set while it waits
    Time idle_from{};                // one that comes back before has not been idle
  };
  using Entry = std::map<ClientId, Client>::const_iterator;

  // The waiting client that has used least, the first of several; end() if nobody waits.
  Entry Least() const;

  const Duration patience_;
  std::map<ClientId, Client> clients_;
  int64_t next_id_ = 0;
  int64_t next_arrival_ = 0;
  std::optional<ClientId> running_;
  Time started_{};
  Duration served_{};  // the most that a client had used when its turn began
};

class DeviceClient;

// Lets one forward at a time run on a device, in DeviceOrder's order: two sets of worker threads
// that spin at their barriers on the same cores would turn milliseconds into seconds.
// Any thread may call it. It must outlive its clients.
class DeviceArbiter {
 public:
  explicit DeviceArbiter(DeviceOrder::Duration patience = std::chrono::milliseconds(2))
      : order_(patience) {}
  DeviceArbiter(const DeviceArbiter&) = delete;
  DeviceArbiter& operator=(const DeviceArbiter&) = delete;

  // The processor's cores.
  static DeviceArbiter& Cpu();

  std::shared_ptr<DeviceClient> NewClient();

 private:
  friend class DeviceClient;
  friend class DeviceTurn;
  void Remove(DeviceOrder::ClientId id) FORETOKEN_EXCLUDES(mutex_);
  void Begin(DeviceOrder::ClientId id) FORETOKEN_EXCLUDES(mutex_);
  void End(DeviceOrder::ClientId id) FORETOKEN_EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  DeviceOrder order_ FORETOKEN_GUARDED_BY(mutex_);
};

// One that shares a device: an engine with all its contexts.
class DeviceClient {
 public:
  DeviceClient(DeviceArbiter& arbiter, DeviceOrder::ClientId id) : arbiter_(arbiter), id_(id) {}
  DeviceClient(const DeviceClient&) = delete;
  DeviceClient& operator=(const DeviceClient&) = delete;
  ~DeviceClient() { arbiter_.Remove(id_); }

 private:
  friend class DeviceTurn;
  DeviceArbiter& arbiter_;
  const DeviceOrder::ClientId id_;
};

// The device for the time of one forward: waits for it, and is charged to the client until it goes.
// A client has one turn at a time, and must outlive it.
class DeviceTurn {
 public:
  explicit DeviceTurn(DeviceClient& client) : client_(client) {
    client_.arbiter_.Begin(client_.id_);
  }
  DeviceTurn(const DeviceTurn&) = delete;
  DeviceTurn& operator=(const DeviceTurn&) = delete;
  ~DeviceTurn() { client_.arbiter_.End(client_.id_); }

 private:
  DeviceClient& client_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_DEVICE_ARBITER_H_
