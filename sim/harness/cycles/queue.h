// A queue between two streams, cycle by cycle.

#ifndef EGRET_CYCLES_QUEUE_H
#define EGRET_CYCLES_QUEUE_H

#include <vector>

namespace egret {

// hw/queue.py
template <typename T>
class CycleQueue {
 public:
  CycleQueue(unsigned depth, bool direct, bool guarded)
      : items_(depth), mask_(depth - 1), depth_(depth), direct_(direct), guarded_(guarded) {}
  bool ready() const { return !guarded_ || count_ < depth_; }
  bool valid() const { return valid_; }
  bool idle() const { return !valid_ && !count_; }
  const T& front() const { return item_; }

  void step(bool comes, const T& item, bool taken) {
    if (!comes && (valid_ ? !taken : !count_)) return;  // nothing moves
    const bool free = !valid_ || taken, passes = direct_ && !count_ && free;
    const bool push = comes && ready() && !passes;
    if (free) {
      valid_ = count_ > 0;
      if (valid_) {
        item_ = items_[head_++ & mask_];
        --count_;
      } else if (passes && comes) {
        valid_ = true;
        item_ = item;
      }
    }
    if (push) {
      items_[tail_++ & mask_] = item;
      ++count_;
    }
  }

 private:
  std::vector<T> items_;
  T item_{};
  unsigned mask_, depth_, head_ = 0, tail_ = 0, count_ = 0;
  bool direct_, guarded_, valid_ = false;
};

}  // namespace egret

#endif  // EGRET_CYCLES_QUEUE_H
