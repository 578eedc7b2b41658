#include "speculative/decode_round.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "speculative/draft_model_wrapper.h"
#include "speculative/target_model_wrapper.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

int64_t MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

// An entry while the round goes on.
struct Member {
  RoundEntry* entry = nullptr;
  int32_t rows = 0;                // of committed tokens
  bool begins_round = false;       // they are all that are missing
  bool decodes = false;            // past its prompt: it may draft
  std::vector<Draft> texts;        // proposals without a model
  std::vector<DraftOffer> offers;  // the texts, then the draft model
  Draft draft;

  SpeculativeDecoder& decoder() const { return *entry->decoder; }
};

class Round {
 public:
  Round(std::span<RoundEntry> entries, const RoundContext& context) : context_(context) {
    members_.resize(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      Member& member = members_[i];
      member.entry = &entries[i];
      SpeculativeDecoder& decoder = member.decoder();
      const int32_t missing = decoder.missing_tokens();
      member.rows = std::min(missing, entries[i].max_committed_rows);
      // The first round is the prefill: drafting before it would delay the first token.
      member.decodes = missing == 1 && decoder.stats().rounds > 0;
      member.begins_round = member.rows == missing;
      if (member.begins_round) ++decoder.session().rounds;
    }
  }

  RoundReport Run() {
    const Clock::time_point start = Clock::now();
    Propose();
    Choose();
    report_.choose_us = MicrosecondsSince(start);
    RunDraftModels();
    Verify();
    const Clock::time_point commit_start = Clock::now();
    Commit();
    report_.commit_us = MicrosecondsSince(commit_start);
    return report_;
  }

 private:
  void Propose() {
    context_.workers.ParallelFor(members_.size(), [this](size_t i) {
      Member& member = members_[i];
      if (!member.decodes) return;
      member.texts = member.decoder().ProposeText(member.decoder().MaxDraftTokens());
    });
  }

  void OfferDrafts(Member& member) {
    SpeculativeDecoder& decoder = member.decoder();
    DraftModelWrapper* model = decoder.ReadyDraftModel();
    const int32_t model_tokens =
        model == nullptr
            ? 0
            : std::min(decoder.MaxDraftTokens(), RoomToDraft(*model, decoder.session()));
    size_t next_text = 0;
    for (const DraftSourceKind kind : decoder.options().speculation.sources) {
      if (next_text < member.texts.size() && member.texts[next_text].source == kind) {
        const Draft& text = member.texts[next_text++];
        member.offers.push_back({.source = kind,
                                 .max_tokens = static_cast<int32_t>(text.tokens.size()),
                                 .confidences = text.confidence});
      } else if (kind == DraftSourceKind::kDraftModel && model_tokens > 0) {
        member.offers.push_back({.source = kind,
                                 .max_tokens = model_tokens,
                                 .draft_model = member.entry->draft_cost_id,
                                 .catch_up_tokens = model->CatchUpTokens(decoder.session())});
      }
    }
  }

  static int32_t GeneratedTokens(const SpeculativeDecoder& decoder) {
    return static_cast<int32_t>(decoder.session().history.output_size());
  }
  static int32_t PromptTokens(const SpeculativeDecoder& decoder) {
    return static_cast<int32_t>(decoder.session().tokens.size()) - GeneratedTokens(decoder);
  }

  void Choose() {
    int32_t other_rows = 0;
    for (Member& member : members_) {
      if (!member.decodes) {
        other_rows += member.rows;
        continue;
      }
      OfferDrafts(member);
      SpeculativeDecoder& decoder = member.decoder();
      const SpeculativeConfig& config = decoder.options().speculation;
      deciding_.push_back(&member);
      sequences_.push_back({.tenant = static_cast<int64_t>(member.entry->tenant),
                            .weight = member.entry->weight,
                            .mode = config.mode,
                            .fixed_tokens = std::min(config.draft_k, config.max_draft_tokens),
                            .band = BandOf(decoder.options().sampling.temperature),
                            .acceptance = member.entry->acceptance,
                            .request = &decoder.acceptance(),
                            .prompt_tokens = PromptTokens(decoder),
                            .generated_tokens = GeneratedTokens(decoder),
                            .remaining_tokens = decoder.remaining_tokens(),
                            .limited = decoder.MaxDraftTokens() == 0,
                            .offers = member.offers});
    }
    if (sequences_.empty()) return;
    const auto decoding = static_cast<int64_t>(sequences_.size());
    const auto max_rows = static_cast<int32_t>(std::min<int64_t>(
        decoding + other_rows + context_.max_draft_rows, std::numeric_limits<int32_t>::max()));
    const std::span<const DraftGrant> grants =
        context_.budget.Choose(sequences_, other_rows, max_rows);
    for (size_t i = 0; i < grants.size(); ++i) {
      NoteExpectation(*deciding_[i], sequences_[i], grants[i]);
      Grant(*deciding_[i], grants[i]);
    }
    if (context_.budget.expected_us() > 0) report_.expected_us = context_.budget.expected_us();
  }

  // What the budget counts on, or why it grants nothing, for the metrics.
  static void NoteExpectation(Member& member, const BudgetSequence& sequence,
                              const DraftGrant& grant) {
    if (grant.tokens <= 0) {
      member.entry->no_draft = ReasonOf(member, sequence, grant);
      return;
    }
    const DraftOffer& offer = sequence.offers[static_cast<size_t>(grant.offer)];
    std::vector<float> survival(static_cast<size_t>(grant.tokens));
    sequence.acceptance->PredictSurvival({offer.source, sequence.band}, offer.confidences,
                                         *sequence.request, survival);
    member.entry->expected_accepted = std::accumulate(survival.begin(), survival.end(), 0.0);
  }

  static NoDraftReason ReasonOf(const Member& member, const BudgetSequence& sequence,
                                const DraftGrant& grant) {
    if (sequence.mode == SpeculationMode::kOff) return NoDraftReason::kOff;
    SpeculativeDecoder& decoder = member.decoder();
    if (decoder.drafts_rest()) return NoDraftReason::kFailing;
    if (sequence.limited) return NoDraftReason::kLimit;
    if (decoder.draft_model() != nullptr && decoder.ReadyDraftModel() == nullptr) {
      return NoDraftReason::kFailing;
    }
    // A draft model that is ready and offers nothing has no room.
    if (sequence.offers.empty() && decoder.ReadyDraftModel() == nullptr) {
      return NoDraftReason::kNoProposal;
    }
    // Every offer is taken in this mode, as long as there is room.
    if (sequence.offers.empty() || sequence.mode == SpeculationMode::kFixed) {
      return NoDraftReason::kLimit;
    }
    switch (grant.off_reason) {
      case OffReason::kNoDraft:
        return NoDraftReason::kNoProposal;
      case OffReason::kLimit:
      case OffReason::kFloor:
        return NoDraftReason::kLimit;
      case OffReason::kUnknown:
        return NoDraftReason::kNotKnown;
      case OffReason::kDoesNotPay:
        break;
    }
    return NoDraftReason::kDoesNotPay;
  }

  void Grant(Member& member, const DraftGrant& grant) {
    if (grant.tokens <= 0) return;
    const DraftOffer& offer = member.offers[static_cast<size_t>(grant.offer)];
    if (offer.source == DraftSourceKind::kDraftModel) {
      GrantDraftModel(member, grant.tokens);
      return;
    }
    const auto text = std::find_if(member.texts.begin(), member.texts.end(),
                                   [&](const Draft& t) { return t.source == offer.source; });
    member.draft = *text;  // the budget still looks at the proposal
    const auto k = static_cast<size_t>(grant.tokens);
    member.draft.tokens.resize(k);
    if (!member.draft.confidence.empty()) member.draft.confidence.resize(k);
  }

  // What is left of a draft model's KV cache.
  struct DraftRoom {
    int32_t cells = 0;
    int32_t ids = 0;
  };

  DraftRoom& RoomOf(const DraftModelWrapper& model) {
    const SequencePool& pool = model.cache().pool();
    return draft_rooms_.try_emplace(&pool, DraftRoom{pool.free_cells(), pool.free_ids()})
        .first->second;
  }

  // The most tokens that the draft model can propose in its context and in what is left of its
  // cache: those that are missing are run, and all that is proposed but for the last.
  int32_t RoomToDraft(const DraftModelWrapper& model, const Session& session) {
    const DraftRoom& room = RoomOf(model);
    if (model.cache().sequence() == nullptr && room.ids == 0) return 0;
    return std::min(model.MaxDraftTokens(session), room.cells - model.MissingTokens(session) + 1);
  }

  // The draft model's cache may have to catch up first, over several rounds where it is far behind;
  // where others took the room, the round goes on with less or without.
  void GrantDraftModel(Member& member, int32_t granted) {
    SpeculativeDecoder& decoder = member.decoder();
    DraftModelWrapper& model = *decoder.draft_model();
    Session& session = decoder.session();
    SequencePool* pool = &model.cache().pool();
    const int32_t k = std::min(granted, RoomToDraft(model, session));
    const int32_t behind = model.CatchUpTokens(session);
    const int32_t catch_up = std::min(behind, context_.max_catch_up_rows - catch_up_rows_);
    member.entry->no_draft = NoDraftReason::kLimit;  // unless it comes to a draft
    if (k <= 0 || (behind > 0 && catch_up <= 0)) return;
    DraftRoom& room = RoomOf(model);
    room.cells -= model.MissingTokens(session) + k - 1;
    if (model.cache().sequence() == nullptr) --room.ids;
    catch_up_rows_ += catch_up;
    if (catch_up < behind) {
      catch_ups_[pool].push_back({.model = &model, .session = &session, .rows = catch_up});
      return;
    }
    tasks_[pool].push_back({.model = &model, .session = &session, .k = k});
    task_members_[pool].push_back(&member);
  }

  void NoteDraftForward(const Member& member, const ForwardReport& forward) {
    report_.draft_forwards += forward.forwards;
    report_.draft_rows += forward.rows;
    report_.draft_us += forward.forward_us;
    // What had to be repeated says nothing of what a forward costs.
    if (forward.forwards != 1 || forward.rows == 0) return;
    draft_forwards_.push_back({.draft_model = member.entry->draft_cost_id,
                               .rows = forward.rows,
                               .us = static_cast<double>(forward.forward_us)});
  }

  void RunDraftModels() {
    for (auto& [pool, catch_ups] : catch_ups_) {
      const ForwardReport forward = CatchUpTogether(catch_ups);
      for (const CatchUpTask& task : catch_ups) {
        Member& member = MemberOf(*task.model);
        if (&task == catch_ups.data()) NoteDraftForward(member, forward);
        NoteFailure(member, task.status);
      }
    }
    for (auto& [pool, tasks] : tasks_) {
      const std::vector<Member*>& members = task_members_[pool];
      for (const ForwardReport& forward : DraftTogether(tasks, context_.workers)) {
        NoteDraftForward(*members[0], forward);
      }
      for (size_t i = 0; i < tasks.size(); ++i) {
        NoteFailure(*members[i], tasks[i].status);
        members[i]->draft = std::move(tasks[i].draft);
      }
    }
  }

  Member& MemberOf(const DraftModelWrapper& model) {
    return *std::find_if(members_.begin(), members_.end(), [&](const Member& member) {
      return member.decoder().draft_model() == &model;
    });
  }

  static void NoteFailure(Member& member, const Status& status) {
    if (status.ok()) return;
    member.entry->no_draft = NoDraftReason::kFailing;
    // A cancelled forward is the requests' own end, seen at the verification.
    if (status.code() == StatusCode::kCancelled) return;
    member.decoder().NoteDraftFailure(DraftSourceKind::kDraftModel, status);
  }

  void Verify() {
    verify_tasks_.resize(members_.size());
    for (size_t i = 0; i < members_.size(); ++i) {
      Member& member = members_[i];
      verify_tasks_[i] = {.target = &member.decoder().target(),
                          .session = &member.decoder().session(),
                          .draft = &member.draft,
                          .max_committed_rows = member.rows};
    }
    const Clock::time_point start = Clock::now();
    report_.target = VerifyTogether(verify_tasks_, context_.workers);
    report_.judge_us = MicrosecondsSince(start) - report_.target.forward_us;
  }

  void Commit() {
    outcomes_.reserve(deciding_.size());
    bool all_ran = report_.target.forwards == 1;
    for (size_t i = 0; i < members_.size(); ++i) {
      Member& member = members_[i];
      VerifyTask& task = verify_tasks_[i];
      RoundEntry& entry = *member.entry;
      entry.status = task.status;
      all_ran = all_ran && task.status.ok();
      if (task.status.ok()) entry.committed_rows = member.rows;
      if (task.status.ok() && task.verification) CommitVerified(member, *task.verification);
      // The round can be begun again, with the same noise.
      if (!task.status.ok() && member.begins_round) --member.decoder().session().rounds;
      if (DraftModelWrapper* model = member.decoder().draft_model()) {
        // Rejected ones leave this cache, too; what it holds is counted on in the next round.
        model->cache().Align(member.decoder().session().tokens);
      }
      if (member.decodes) outcomes_.push_back({entry.counted, entry.accepted});
    }
    // What a step costs that had to be repeated says nothing of what steps cost.
    if (!all_ran) return;
    if (sequences_.empty()) {
      context_.budget.ObserveForward(report_.target.rows,
                                     static_cast<double>(report_.target.forward_us));
      return;
    }
    context_.budget.Observe(sequences_,
                            {.target_rows = report_.target.rows,
                             .target_us = static_cast<double>(report_.target.forward_us),
                             .draft_forwards = draft_forwards_,
                             .sequences = outcomes_});
  }

  void CommitVerified(Member& member, const Verification& verification) {
    RoundEntry& entry = *member.entry;
    if (!verification.dropped.ok()) {
      member.draft = Draft();
      entry.no_draft = NoDraftReason::kFailing;
    }
    SpeculativeDecoder& decoder = member.decoder();
    const SpeculationStats& stats = decoder.stats();
    const int64_t counted = stats.drafted;
    const int64_t accepted = stats.accepted;
    const int64_t bonus = stats.bonus;
    const auto length = static_cast<int32_t>(decoder.session().tokens.size());
    entry.finished = decoder.CommitRound(member.draft, verification, *entry.sink);
    entry.committed = static_cast<int32_t>(decoder.session().tokens.size()) - length;
    entry.drafted = static_cast<int32_t>(member.draft.tokens.size());
    entry.counted = static_cast<int32_t>(stats.drafted - counted);
    entry.accepted = static_cast<int32_t>(stats.accepted - accepted);
    entry.bonus = stats.bonus > bonus;
    if (entry.drafted > 0) entry.source = member.draft.source;
  }

  const RoundContext& context_;
  RoundReport report_;
  std::vector<Member> members_;
  std::vector<Member*> deciding_;  // those that may draft, as the budget is asked about them
  std::vector<BudgetSequence> sequences_;
  std::map<SequencePool*, std::vector<ModelDraftTask>> tasks_;  // by the draft model's context
  std::map<SequencePool*, std::vector<Member*>> task_members_;
  std::map<SequencePool*, std::vector<CatchUpTask>> catch_ups_;
  std::map<const SequencePool*, DraftRoom> draft_rooms_;  // less what was granted
  int32_t catch_up_rows_ = 0;
  std::vector<DraftForward> draft_forwards_;
  std::vector<VerifyTask> verify_tasks_;
  std::vector<DraftOutcome> outcomes_;
};

}  // namespace

RoundReport DecodeRound(std::span<RoundEntry> entries, const RoundContext& context) {
  return Round(entries, context).Run();
}

}  // namespace foretoken
