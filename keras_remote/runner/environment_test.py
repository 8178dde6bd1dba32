"""What an installed environment finds of its node."""

from absl.testing import absltest, parameterized

from keras_remote.runner import environment


class DriversTest(parameterized.TestCase):
  @parameterized.parameters(
    (None, "{drivers}"),
    ("", "{drivers}"),
    ("/opt/lib", "/opt/lib:{drivers}"),
    ("/a:{drivers}:/b", "/a:{drivers}:/b"),
  )
  def test_where_there_are_some(self, before: str | None, after: str) -> None:
    """They are found last, and once; nothing else is changed."""
    drivers = self.create_tempdir().full_path
    environ = {"HOME": "/"}
    if before is not None:
      environ["LD_LIBRARY_PATH"] = before.format(drivers=drivers)
    self.assertEqual(
      environment.with_drivers(environ, drivers),
      {"HOME": "/", "LD_LIBRARY_PATH": after.format(drivers=drivers)},
    )

  @parameterized.parameters({}, {"LD_LIBRARY_PATH": "/opt/lib"})
  def test_where_there_are_none(self, **environ: str) -> None:
    """Nothing is changed."""
    drivers = self.create_tempdir().full_path + "/none"
    self.assertEqual(environment.with_drivers(environ, drivers), environ)


if __name__ == "__main__":
  absltest.main()
