"""Public contracts: what every detector and every source must hold, checked on real runs.

In the tests of a package that brings its own:

    from vestige.testing import check_detector, check_source

    def test_my_detector_keeps_the_contract(tmp_path):
        check_detector(MyDetector, tmp_path)
"""

from vestige.testing.detectors import check_detector
from vestige.testing.sources import check_followed, check_reader, check_source

__all__ = ["check_detector", "check_followed", "check_reader", "check_source"]
