#ifndef FORETOKEN_FETCH_WHEEL_MEMBER_H_
#define FORETOKEN_FETCH_WHEEL_MEMBER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "foretoken/status.h"

namespace foretoken {

// Unpacks the file `member` of the ZIP archive at `path` (a wheel is one) into `append`, piece by
// piece; nothing is written to disk and the checksum is verified. DATA_LOSS when the archive is
// damaged or the member is missing or not of `bytes`; an error from `append` is passed on.
Status ReadWheelMember(const std::string& path, const std::string& member, uint64_t bytes,
                       const std::function<Status(std::span<const char>)>& append);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_WHEEL_MEMBER_H_
