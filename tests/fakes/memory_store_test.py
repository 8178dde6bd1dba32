from absl.testing import absltest

from keras_remote.storage.store import Store
from tests import store_contract
from tests.fakes.memory_store import MemoryStore


class MemoryStoreTest(store_contract.StoreContract):
  def make_store(self) -> Store:
    return MemoryStore()


if __name__ == "__main__":
  absltest.main()
