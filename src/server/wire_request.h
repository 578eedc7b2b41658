#ifndef FORETOKEN_SERVER_WIRE_REQUEST_H_
#define FORETOKEN_SERVER_WIRE_REQUEST_H_

#include <string>
#include <string_view>
#include <vector>

#include "server/wire_error.h"
#include "server/wire_json.h"
#include "server/wire_object.h"

namespace foretoken {

// Parses a request's body and has `read` fill a Request from it. `read` returns the list in it that
// takes the names of the fields that had no effect.
template <typename Request>
WireResult<Request> ParseRequest(std::string_view body,
                                 std::vector<std::string>& (*read)(WireObject&, Request&)) {
  WireResult<nlohmann::json> json = ParseJsonObject(body);
  if (!json.ok()) return json.error();
  WireReport report;
  WireObject object(*json, "", report);
  Request request;
  std::vector<std::string>& ignored_fields = read(object, request);
  object.IgnoreRest();
  if (report.failed()) return report.error();
  ignored_fields = report.TakeIgnored();
  return request;
}

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_REQUEST_H_
